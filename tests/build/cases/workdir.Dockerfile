FROM busybox
WORKDIR /a
WORKDIR b
WORKDIR /a/../c/./d
WORKDIR /bin
