FROM busybox
ADD a.txt dir/one.txt /x/
ADD dir /y
ADD plain.tar.gz /z/
