FROM busybox
COPY ["sp ace.txt", "a.txt", "/my dir/"]
