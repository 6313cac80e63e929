FROM busybox
HEALTHCHECK CMD ["test", "-e", "/x"]
