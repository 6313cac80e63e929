# syntax=docker/dockerfile:1
# Old engines leave the places that were mounted on behind; newer ones and this one do not.
FROM busybox
RUN --mount=type=tmpfs,target=/t echo x >/t/x && ls /t >/y
