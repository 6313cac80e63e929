FROM busybox
LABEL a=1 b=2
