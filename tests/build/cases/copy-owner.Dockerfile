FROM busybox
RUN echo 'me:x:10:20::/:/bin/sh' >>/etc/passwd && echo 'us:x:21:' >>/etc/group
COPY a.txt /a
COPY --chown=5 a.txt /b
COPY --chown=5:6 dir /c
COPY --chown=me a.txt /d
COPY --chown=me:us dir/sub /e/f/g/
COPY --chown=:us a.txt /h
