//! Paths of unix sockets.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Another name of a socket's path that fits into the 108 bytes which the kernel has for it
/// (`sun_path`, unix(7)): through a descriptor of its directory. Valid while this lives.
#[derive(Debug)]
pub struct SocketPath {
    _dir: File,
    path: PathBuf,
}

impl SocketPath {
    /// The short name of a socket in a directory that exists.
    pub fn new(path: &Path) -> io::Result<Self> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let dir = File::open(dir)?;
        let path = Path::new("/proc/self/fd")
            .join(dir.as_raw_fd().to_string())
            .join(name);
        Ok(Self { _dir: dir, path })
    }

    /// The name to bind or connect to.
    pub fn as_path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_path_may_be_longer_than_the_kernel_has_room_for() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("s.sock");
        let name = SocketPath::new(&path).unwrap();
        let _listener = UnixListener::bind(name.as_path()).unwrap();
        assert!(path.exists());
        UnixStream::connect(SocketPath::new(&path).unwrap().as_path()).unwrap();
    }
}
