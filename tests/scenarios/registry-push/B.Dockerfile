FROM busybox
ENV B=1
