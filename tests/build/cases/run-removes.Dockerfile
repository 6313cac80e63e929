FROM busybox
RUN mkdir -p /d/e && echo x >/d/e/f && echo y >/d/g
RUN rm -r /d/e && rm /bin/sh.none || true
RUN rm -rf /d && mkdir /d && echo new >/d/h
