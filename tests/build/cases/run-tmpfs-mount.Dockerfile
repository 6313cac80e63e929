FROM busybox
RUN --mount=type=tmpfs,target=/t echo x >/t/x && ls /t >/y
