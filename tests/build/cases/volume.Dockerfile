FROM busybox
VOLUME /a /b
VOLUME ["/c d"]
RUN mkdir -p /a && echo x >/a/x
