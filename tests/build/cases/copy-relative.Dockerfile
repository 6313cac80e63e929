FROM busybox
WORKDIR /w
COPY a.txt .
COPY a.txt b/
COPY a.txt c
COPY a.txt ../d
