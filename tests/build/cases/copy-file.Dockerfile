FROM busybox
COPY a.txt /
COPY a.txt /b.txt
COPY a.txt /new/dir/
COPY a.txt /new/name
COPY b.txt script.sh setuid /modes/
