//! The socket to the kernel.

use std::io;

use netlink_sys::Socket;
use netlink_sys::constants::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force};

use super::{Batch, cstr, find};
use crate::net::{Error, Hint};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const HEADER: usize = 16;
/// The kernel fills dump buffers up to 32 KiB.
const RECEIVE: usize = 64 * 1024;
/// Well below the usual `net.core.wmem_default` of 208 KiB.
const PLAIN_SEND: usize = 96 * 1024;
/// A refusal takes about 1 KiB of the receive buffer with the kernel's own accounting.
const PLAIN_MESSAGES: usize = 128;
/// How often a dump is repeated that others changed while it was read.
const DUMP_ATTEMPTS: u32 = 16;

/// Which part of the kernel is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum Family {
    /// Links, addresses, routes.
    Route,
    /// nftables.
    Netfilter,
}

impl Family {
    pub(in crate::net) fn name(self) -> &'static str {
        match self {
            Family::Route => "route",
            Family::Netfilter => "netfilter",
        }
    }

    fn module(self) -> &'static str {
        match self {
            Family::Route => "rtnetlink",
            Family::Netfilter => "nf_tables",
        }
    }
}

/// A message that the kernel did not carry out.
#[derive(Debug)]
pub(in crate::net) struct Refusal {
    /// Its sequence number.
    pub(in crate::net) sequence: u32,
    /// The error number.
    pub(in crate::net) errno: i32,
    /// The kernel's own words.
    pub(in crate::net) explanation: Option<String>,
}

impl Refusal {
    /// The error for a message of `batch`, with a hint when `module` may be missing.
    pub(in crate::net) fn into_error(self, batch: &Batch, module: &'static str) -> Error {
        let hint = match self.errno {
            libc::EPERM | libc::EACCES => Some(Hint::Privilege),
            libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => {
                Some(Hint::Module(module))
            }
            _ => None,
        };
        self.explain(batch, hint)
    }

    /// The error for a message of `batch`, with this hint.
    pub(in crate::net) fn into_error_with(self, batch: &Batch, hint: Hint) -> Error {
        self.explain(batch, Some(hint))
    }

    fn explain(self, batch: &Batch, hint: Option<Hint>) -> Error {
        Error::Kernel {
            action: batch
                .action(self.sequence)
                .unwrap_or("do a netlink request")
                .to_owned(),
            explanation: self.explanation,
            hint,
            source: io::Error::from_raw_os_error(self.errno),
        }
    }
}

/// One message of an answer.
#[derive(Debug)]
pub(in crate::net) struct Reply {
    /// Its type.
    pub(in crate::net) kind: u16,
    /// All behind the netlink header.
    pub(in crate::net) payload: Vec<u8>,
}

/// A netlink socket in the network namespace of the thread that opened it.
pub(in crate::net) struct Connection {
    socket: Socket,
    family: Family,
}

impl Connection {
    pub(in crate::net) fn open(family: Family) -> Result<Connection, Error> {
        let protocol = match family {
            Family::Route => NETLINK_ROUTE,
            Family::Netfilter => NETLINK_NETFILTER,
        };
        let failed = |source: io::Error| Error::Socket {
            action: "open",
            family: family.name(),
            hint: (source.raw_os_error() == Some(libc::EPROTONOSUPPORT))
                .then_some(Hint::Module(family.module())),
            source,
        };
        let socket = Socket::new(protocol).map_err(failed)?;
        // Extended acknowledgements carry the kernel's words; capped ones leave our message out.
        socket.set_ext_ack(true).map_err(failed)?;
        socket.set_cap_ack(true).map_err(failed)?;
        Ok(Connection { socket, family })
    }

    pub(in crate::net) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends all messages and returns those that were refused, in the order of the kernel.
    pub(in crate::net) fn execute(&self, batch: &Batch) -> Result<Vec<Refusal>, Error> {
        self.send(batch)?;
        let mut refusals = Vec::new();
        let mut buffer = Vec::with_capacity(8 * 1024);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, libc::MSG_DONTWAIT) {
                Ok(_) => self.each_message(&buffer, |header, payload| {
                    if header.kind == NLMSG_ERROR {
                        refusals.extend(refusal(header, payload));
                    }
                    Ok(())
                })?,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(refusals),
                    // The queue overran with refusals: those that are in it are enough to report.
                    Some(libc::EINTR | libc::ENOBUFS) => {}
                    _ => return Err(self.failed("read from", error)),
                },
            }
        }
    }

    /// As [`Connection::execute`], and the first refusal is an error.
    pub(in crate::net) fn execute_all(
        &self,
        batch: &Batch,
        module: &'static str,
    ) -> Result<(), Error> {
        match self.execute(batch)?.into_iter().next() {
            Some(refusal) => Err(refusal.into_error(batch, module)),
            None => Ok(()),
        }
    }

    /// Sends one question and returns the answer's messages, or the refusal of the kernel.
    pub(in crate::net) fn ask(
        &self,
        question: impl Fn() -> Batch,
    ) -> Result<Result<Vec<Reply>, Refusal>, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            self.send(&question())?;
            if let Some(answer) = self.answer()? {
                return Ok(answer);
            }
        }
        Err(Error::Contended {
            attempts: DUMP_ATTEMPTS,
        })
    }

    /// Reads until the answer is whole; `None` when it was changed while being read.
    fn answer(&self) -> Result<Option<Result<Vec<Reply>, Refusal>>, Error> {
        let mut replies = Vec::new();
        let mut interrupted = false;
        let mut buffer = Vec::with_capacity(RECEIVE);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
                Err(error) => return Err(self.failed("read from", error)),
            }
            let mut end = None;
            self.each_message(&buffer, |header, payload| {
                interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                match header.kind {
                    NLMSG_DONE => end = Some(Ok(())),
                    NLMSG_ERROR => end = Some(refusal(header, payload).map_or(Ok(()), Err)),
                    kind => {
                        replies.push(Reply {
                            kind,
                            payload: payload.to_vec(),
                        });
                        if header.flags & NLM_F_MULTI == 0 {
                            end = Some(Ok(()));
                        }
                    }
                }
                Ok(())
            })?;
            match end {
                Some(Err(refusal)) if refusal.errno == libc::EINTR => return Ok(None),
                Some(Ok(())) if interrupted => return Ok(None),
                Some(outcome) => return Ok(Some(outcome.map(|()| replies))),
                None => {}
            }
        }
    }

    fn send(&self, batch: &Batch) -> Result<(), Error> {
        let bytes = batch.bytes();
        if bytes.len() > PLAIN_SEND {
            // Kernel: a message larger than the send buffer is EMSGSIZE (af_netlink.c).
            set_socket_send_buffer_size_force(&self.socket, bytes.len() * 2)
                .map_err(|errno| self.failed("enlarge", errno.into()))?;
        }
        if batch.len() > PLAIN_MESSAGES {
            set_socket_recv_buffer_size_force(&self.socket, batch.len() * 1024)
                .map_err(|errno| self.failed("enlarge", errno.into()))?;
        }
        self.socket
            .send(bytes, 0)
            .map_err(|error| self.failed("send on", error))?;
        Ok(())
    }

    fn failed(&self, action: &'static str, source: io::Error) -> Error {
        let hint = (source.raw_os_error() == Some(libc::EPERM)).then_some(Hint::Privilege);
        Error::Socket {
            action,
            family: self.family.name(),
            hint,
            source,
        }
    }

    fn each_message(
        &self,
        bytes: &[u8],
        mut each: impl FnMut(Header, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (header, payload, next) = split(rest).ok_or(Error::Malformed {
                family: self.family.name(),
                reason: "a message is shorter than its header says",
            })?;
            each(header, payload)?;
            rest = next;
        }
        Ok(())
    }
}

const NLM_F_MULTI: u16 = 0x2;

#[derive(Debug, Clone, Copy)]
struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
}

/// Splits the first message off: header, payload, rest.
fn split(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let length = usize::try_from(word(0)?).ok()?;
    let header = Header {
        kind: half(4)?,
        flags: half(6)?,
        sequence: word(8)?,
    };
    let payload = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    Some((header, payload, next))
}

/// Reads an error message; `None` when it acknowledges success.
fn refusal(header: Header, payload: &[u8]) -> Option<Refusal> {
    let code = i32::from_ne_bytes(payload.get(..4)?.try_into().ok()?);
    if code == 0 {
        return None;
    }
    let explanation = (header.flags & NLM_F_ACK_TLVS != 0)
        .then(|| {
            // Behind the code comes the header of our message, and its payload unless capped.
            let echoed = if header.flags & NLM_F_CAPPED != 0 {
                HEADER
            } else {
                usize::try_from(u32::from_ne_bytes(payload.get(4..8)?.try_into().ok()?)).ok()?
            };
            let tlvs = payload.get((4 + echoed).next_multiple_of(4)..)?;
            find(tlvs, NLMSGERR_ATTR_MSG).map(cstr)
        })
        .flatten();
    Some(Refusal {
        sequence: header.sequence,
        errno: code.saturating_neg(),
        explanation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_claims_more_than_there_is_does_not_split() {
        let mut bytes = vec![0; 16];
        bytes[0] = 20;
        assert!(split(&bytes).is_none());
        bytes[0] = 8;
        assert!(split(&bytes).is_none());
        bytes[0] = 16;
        assert!(split(&bytes).is_some());
    }

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        let connection = Connection::open(Family::Route).unwrap();
        let mut batch = Batch::new();
        // A link without kind and name: refused by every kernel, whoever asks.
        batch
            .message(16, super::super::CREATE, &[0; 16], "create nothing")
            .nest(18, |info| {
                info.text(1, "nosuchkind");
            });
        let refusals = connection.execute(&batch).unwrap();
        assert_eq!(refusals.len(), 1);
        assert_eq!(refusals[0].sequence, 1);
        let error = refusals
            .into_iter()
            .next()
            .unwrap()
            .into_error(&batch, "nosuchkind");
        let text = error.to_string();
        assert!(text.starts_with("cannot create nothing"), "{text}");
        assert!(
            matches!(error, Error::Kernel { hint: Some(_), .. }),
            "{error:?}"
        );
    }
}
