FROM busybox
USER 5:6
COPY a.txt /x/
WORKDIR /w/y
