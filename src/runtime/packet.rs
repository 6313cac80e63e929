//! Packets of JSON with descriptors beside them, on SOCK_SEQPACKET unix sockets.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    bind, connect, listen, recvmsg, sendmsg, socket_with, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::protocol::{MAX_FDS, MAX_PACKET};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// Why a packet could not be sent or understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum PacketError {
    #[error("{0} bytes are more than a packet may have")]
    TooLarge(usize),
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for PacketError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

/// What was there to receive.
#[derive(Debug)]
pub(super) enum Packet<T> {
    Message(T, Vec<OwnedFd>),
    /// Nothing yet.
    Nothing,
    /// The other side has closed, or died.
    Closed,
}

/// Whether to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Blocking,
    Never,
}

/// A connected pair.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// Sends one packet.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
    wait: Wait,
) -> Result<(), PacketError> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MAX_PACKET {
        return Err(PacketError::TooLarge(bytes.len()));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(PacketError::TooLarge(bytes.len()));
    }
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::DONTWAIT, wait == Wait::Never);
    rustix::io::retry_on_intr(|| sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, flags))?;
    Ok(())
}

/// Receives one packet. One that is too large, or does not parse, is an error; descriptors that came
/// with it are closed.
pub(super) fn receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
    wait: Wait,
) -> Result<Packet<T>, PacketError> {
    let mut flags = RecvFlags::empty();
    flags.set(RecvFlags::DONTWAIT, wait == Wait::Never);
    let Some(size) = next_size(socket, flags)? else {
        return Ok(Packet::Nothing);
    };
    if size == 0 {
        return Ok(Packet::Closed);
    }
    let mut bytes = vec![0; size.min(MAX_PACKET)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            flags | RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(PacketError::TooLarge(size));
    }
    let message = serde_json::from_slice(&bytes[..received.bytes])?;
    Ok(Packet::Message(message, fds))
}

/// The size of the next packet, so that no buffer of the largest size has to be kept; 0 = closed.
fn next_size(socket: BorrowedFd<'_>, flags: RecvFlags) -> Result<Option<usize>, PacketError> {
    let mut nothing = [0; 0];
    let mut no_control = RecvAncillaryBuffer::default();
    let peek = flags | RecvFlags::PEEK | RecvFlags::TRUNC;
    let mut look = || {
        rustix::io::retry_on_intr(|| {
            let parts = &mut [IoSliceMut::new(&mut nothing)];
            recvmsg(socket, parts, &mut no_control, peek)
        })
    };
    let found = match look() {
        // Closed with something of ours unread: said once, before what was sent until then.
        Err(rustix::io::Errno::CONNRESET) => look(),
        found => found,
    };
    match found {
        Ok(received) => Ok(Some(received.bytes)),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(rustix::io::Errno::CONNRESET) => Ok(Some(0)),
        Err(error) => Err(error.into()),
    }
}

/// Connects to a socket, however long its path is.
pub(super) fn connect_to(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let (_directory, address) = short_address(path)?;
    connect(&socket, &address)?;
    Ok(socket)
}

/// Listens on a new socket that only its owner may connect to; one that a dead shim has left is
/// replaced. The socket does not block.
pub(super) fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (_directory, address) = short_address(path)?;
    // The file takes the socket's mode (unix_bind): there is no moment at which others could connect.
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// An address has room for 108 bytes; a path through the directory's descriptor always fits. The
/// descriptor has to stay open while the address is in use.
fn short_address(path: &Path) -> io::Result<(OwnedFd, SocketAddrUnix)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let directory = path.parent().ok_or_else(invalid)?;
    let name: &OsStr = path.file_name().ok_or_else(invalid)?;
    let directory: OwnedFd = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_PATH)
        .open(directory)?
        .into();
    let mut short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    short.push(name);
    let address = SocketAddrUnix::new(&short)?;
    Ok((directory, address))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn packets_keep_their_borders_and_their_descriptors() {
        let (left, right) = pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        for (text, fds) in [("one", vec![reader.as_fd()]), ("two", vec![])] {
            send(left.as_fd(), &text, &fds, Wait::Never).unwrap();
        }
        drop(left);
        for (expected, count) in [("one", 1), ("two", 0)] {
            match receive::<String>(right.as_fd(), Wait::Never).unwrap() {
                Packet::Message(text, fds) => assert_eq!((&*text, fds.len()), (expected, count)),
                other => panic!("{other:?}"),
            }
        }
        let closed = receive::<String>(right.as_fd(), Wait::Blocking).unwrap();
        assert!(matches!(closed, Packet::Closed), "{closed:?}");
        drop(writer);
    }

    #[test]
    fn nothing_there_is_no_error() {
        let (left, _right) = pair().unwrap();
        let packet = receive::<String>(left.as_fd(), Wait::Never).unwrap();
        assert!(matches!(packet, Packet::Nothing), "{packet:?}");
    }

    #[test]
    fn the_largest_packet_passes_and_a_larger_one_is_refused() {
        let (left, right) = pair().unwrap();
        let largest = "x".repeat(MAX_PACKET - 2);
        send(left.as_fd(), &largest, &[], Wait::Never).unwrap();
        match receive::<String>(right.as_fd(), Wait::Never).unwrap() {
            Packet::Message(text, _) => assert_eq!(text, largest),
            other => panic!("{other:?}"),
        }
        let error = send(left.as_fd(), &(largest + "x"), &[], Wait::Never).unwrap_err();
        assert!(matches!(error, PacketError::TooLarge(_)), "{error}");
        // Somebody who does not keep to it.
        let raw = vec![b' '; MAX_PACKET + 1];
        rustix::net::send(&left, &raw, SendFlags::empty()).unwrap();
        let error = receive::<String>(right.as_fd(), Wait::Never).unwrap_err();
        assert!(matches!(error, PacketError::TooLarge(_)), "{error}");
    }

    #[test]
    fn nonsense_is_an_error() {
        let (left, right) = pair().unwrap();
        rustix::net::send(&left, b"\xff{", SendFlags::empty()).unwrap();
        let error = receive::<String>(right.as_fd(), Wait::Never).unwrap_err();
        assert!(matches!(error, PacketError::Malformed(_)), "{error}");
    }

    #[test]
    fn a_socket_may_have_a_long_path_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(200)).join("shim.sock");
        fs::create_dir(deep.parent().unwrap()).unwrap();
        let _first = listen_at(&deep).unwrap();
        // As after a kill: the file is still there.
        let listener = listen_at(&deep).unwrap();
        let mode = fs::metadata(&deep).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let client = connect_to(&deep).unwrap();
        send(client.as_fd(), &"hello", &[], Wait::Never).unwrap();
        let server = rustix::net::accept(&listener).unwrap();
        let packet = receive::<String>(server.as_fd(), Wait::Blocking).unwrap();
        assert!(matches!(packet, Packet::Message(text, _) if text == "hello"));
    }
}
