FROM busybox
ADD archive.tar /a/
ADD archive.tar.gz /b/
ADD archive.tar.bz2 /c
ADD archive.tar.xz /d/
