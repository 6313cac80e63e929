//! The line between a new process and its parent, until the program runs: one `SOCK_SEQPACKET` pair,
//! close-on-exec, so that its end tells the parent that `exec` has succeeded.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

use super::failure::Wire;

/// What the new process says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Everything up to `exec` is done; the name server's sockets come along.
    Ready,
    /// A step failed; the process ends.
    Failed(Wire),
}

/// What the parent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The interfaces are there.
    Plugged,
    /// Run the program.
    Start,
}

impl Order {
    fn byte(self) -> u8 {
        match self {
            Self::Plugged => b'p',
            Self::Start => b's',
        }
    }
}

/// Longest report: bounded, as what it quotes can come from an image.
const REPORT_MAX: usize = 32 * 1024;

/// Parent's end, child's end.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends a report with descriptors.
pub(crate) fn report(
    channel: BorrowedFd<'_>,
    report: &Report,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(report)?;
    send_with(channel, &bytes, fds)
}

/// Sends bytes with at most two descriptors.
pub(crate) fn send_with(
    channel: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL.into());
    }
    rustix::io::retry_on_intr(|| {
        sendmsg(
            channel,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
    })?;
    Ok(())
}

/// Waits for the next report; `None` at the end of the line.
pub(crate) fn next_report(channel: BorrowedFd<'_>) -> io::Result<Option<(Report, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; REPORT_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        match recvmsg(channel, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            // The other end closed with an order of ours unread: said once, before what it sent.
            Err(Errno::CONNRESET | Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok(Some((
        serde_json::from_slice(&bytes[..received.bytes])?,
        fds,
    )))
}

/// Tells the new process to go on.
pub(crate) fn order(channel: impl AsFd, order: Order) -> io::Result<()> {
    let byte = [order.byte()];
    rustix::io::retry_on_intr(|| rustix::net::send(&channel, &byte, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Waits for this order; anything else means that the parent is gone.
pub(crate) fn wait_for(channel: impl AsFd, order: Order) -> io::Result<()> {
    let mut byte = [0];
    // `read`, which every system call filter allows.
    let length = rustix::io::retry_on_intr(|| rustix::io::read(&channel, &mut byte))?;
    if length == 1 && byte[0] == order.byte() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::failure::{StartError, Step};

    #[test]
    fn what_was_said_is_heard_though_the_speaker_left_an_order_unread() {
        let (ours, theirs) = pair().unwrap();
        order(&ours, Order::Plugged).unwrap();
        let failed = Report::Failed(StartError::because(Step::Mount, "/x", "why").into());
        report(theirs.as_fd(), &failed, &[]).unwrap();
        drop(theirs);
        let (heard, _) = next_report(ours.as_fd()).unwrap().expect("a report");
        assert!(
            matches!(
                heard,
                Report::Failed(Wire::Failed {
                    step: Step::Mount,
                    ..
                })
            ),
            "{heard:?}"
        );
        assert!(next_report(ours.as_fd()).unwrap().is_none());
    }

    #[test]
    fn orders_and_descriptors_arrive() {
        let (ours, theirs) = pair().unwrap();
        order(&ours, Order::Start).unwrap();
        wait_for(&theirs, Order::Start).unwrap();
        order(&ours, Order::Start).unwrap();
        assert!(wait_for(&theirs, Order::Plugged).is_err());
        let null = std::fs::File::open("/dev/null").unwrap();
        report(
            theirs.as_fd(),
            &Report::Ready,
            &[null.as_fd(), null.as_fd()],
        )
        .unwrap();
        let (heard, fds) = next_report(ours.as_fd()).unwrap().unwrap();
        assert!(matches!(heard, Report::Ready));
        assert_eq!(fds.len(), 2);
    }
}
