FROM busybox
RUN echo 'me:x:10:20::/home/me:/bin/sh' >>/etc/passwd && echo 'us:x:20:' >>/etc/group && mkdir /w && chmod 777 /w
USER me
RUN id -u >/w/a; id -g >/w/b; echo $HOME >/w/c
USER 30:40
RUN id -u >/w/d; id -g >/w/e
USER me:0
RUN touch /w/f
