FROM alpine
RUN ls /sys/class/net >/links
CMD cat /links
