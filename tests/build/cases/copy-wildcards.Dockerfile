FROM busybox
COPY *.txt /t/
COPY dir/*/* /u/
COPY d?r/*.md /v/
COPY [ab].txt /w/
