FROM busybox
RUN mkdir -p /d/sub && echo old >/d/one.txt && echo kept >/d/kept && chmod 700 /d && chown 9:9 /d
COPY dir /d
