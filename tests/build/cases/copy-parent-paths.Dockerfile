FROM busybox
COPY ../a.txt /x
COPY /dir/../b.txt /y
COPY ./dir//one.txt /z
