FROM busybox
COPY --chmod=640 a.txt /a
COPY --chmod=0755 dir /b
COPY --chmod=0711 script.sh /c
