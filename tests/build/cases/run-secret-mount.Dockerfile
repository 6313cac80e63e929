# syntax=docker/dockerfile:1
# Old engines leave the places that were mounted on behind; newer ones and this one do not.
FROM busybox
RUN --mount=type=secret,id=s cat /run/secrets/s >/x; ls -ld /run/secrets/s | cut -c1-10 >>/x
RUN --mount=type=secret,id=s,target=/k,mode=0444,uid=3 stat -c '%a %u' /k >/y
RUN --mount=type=secret,id=none test ! -e /run/secrets/none
