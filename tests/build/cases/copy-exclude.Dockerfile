# syntax=docker/dockerfile:1
FROM busybox
COPY --exclude=*.md --exclude=sub dir /d/
