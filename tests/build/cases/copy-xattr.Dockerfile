FROM scratch
COPY xattr.txt /
