FROM scratch
COPY --from=busybox /etc/ /etc/
