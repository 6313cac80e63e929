FROM busybox
COPY dir /d
COPY dir/ /e/
COPY dir/. /f/.
COPY dir dir/sub /g/
