FROM busybox
COPY link /file
COPY dirlink /d
COPY links /links
COPY links/to-* /star/
COPY links/to-dir/sub/three.txt /through
