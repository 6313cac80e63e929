# syntax=docker/dockerfile:1
FROM busybox
RUN <<EOF
echo "one $HOME" >/a
echo two >>/a
EOF
RUN <<-'EOF'
	echo tabs >/b
	EOF
RUN <<EOF
#!/bin/cat
script
EOF
RUN cat >/c <<X && cat >/d <<'Y'
$HOME
X
$HOME
Y
