# syntax=docker/dockerfile:1
FROM busybox
RUN mkdir /d && echo x >/d/x && chmod 700 /d
COPY --link a.txt /d/
COPY --link dir /e/
