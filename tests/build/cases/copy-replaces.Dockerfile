FROM busybox
COPY a.txt /x
COPY b.txt /x
RUN rm /x
COPY script.sh /x
