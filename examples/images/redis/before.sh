# The user and its id as in the image on Docker Hub: files on volumes keep their owner.
groupadd --system --gid 999 redis
useradd --system --uid 999 --gid redis --home-dir /data --no-create-home --shell /usr/sbin/nologin redis
install -d -o redis -g redis /data
