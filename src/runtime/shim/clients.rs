//! Who is connected to the shim.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::sockopt::socket_peercred;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::geteuid;

use crate::runtime::packet::{self, Packet, Wait};
use crate::runtime::protocol::{Hello, Reply, Request};

/// More are turned away: every one costs a descriptor, and nobody needs so many.
const MOST_CLIENTS: usize = 256;
const ACCEPTED_AT_ONCE: usize = 16;

/// One connection.
#[derive(Debug)]
struct Client {
    id: u64,
    socket: OwnedFd,
    role: Role,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It has not said yet.
    New,
    /// Looks after the container.
    Supervisor,
    /// Follows the program's output.
    Attached,
    /// Waits for the end of a process that was started for it.
    Waiting,
}

/// What a connection that was readable had to say.
#[derive(Debug)]
pub(super) enum Heard {
    Request(Box<Hello>, Vec<OwnedFd>),
    Nothing,
    /// It is gone, or talks nonsense, which is the same.
    Gone,
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Clients {
    list: Vec<Client>,
    last_id: u64,
}

impl Clients {
    /// Adds a connection.
    pub(super) fn add(&mut self, socket: OwnedFd, role: Role) -> u64 {
        self.last_id += 1;
        self.list.push(Client {
            id: self.last_id,
            socket,
            role,
        });
        self.last_id
    }

    /// Takes connections that wait; those of other users are closed. Only some at a time: between
    /// two calls those that have come are heard, or found to be gone.
    pub(super) fn accept(&mut self, listener: BorrowedFd<'_>) {
        for _ in 0..ACCEPTED_AT_ONCE {
            let Ok(socket) = accept_with(listener, SocketFlags::CLOEXEC) else {
                return;
            };
            if is_allowed(socket.as_fd()) && self.make_room() {
                self.add(socket, Role::New);
            }
        }
    }

    /// Whether there is room for one more; who has been silent for the longest time makes it.
    fn make_room(&mut self) -> bool {
        if self.list.len() >= MOST_CLIENTS {
            let silent = |client: &Client| client.role == Role::New;
            match self.list.iter().position(silent) {
                Some(index) => drop(self.list.remove(index)),
                None => return false,
            }
        }
        true
    }

    /// Every connection, to wait for.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.list
            .iter()
            .map(|client| (client.id, client.socket.as_fd()))
    }

    /// What a connection says. After its first packet there is nothing more to say, unless it looks
    /// after the container and brings something to keep: only its end matters.
    pub(super) fn hear(&self, id: u64) -> Heard {
        let Some(client) = self.list.iter().find(|client| client.id == id) else {
            return Heard::Nothing;
        };
        match packet::receive(client.socket.as_fd(), Wait::Never) {
            Ok(Packet::Message(hello, fds)) if client.role == Role::New => {
                Heard::Request(Box::new(hello), fds)
            }
            Ok(Packet::Message(hello, fds))
                if client.role == Role::Supervisor && is_hold(&hello) =>
            {
                Heard::Request(Box::new(hello), fds)
            }
            Ok(Packet::Nothing) => Heard::Nothing,
            Ok(Packet::Message(..) | Packet::Closed) | Err(_) => Heard::Gone,
        }
    }

    pub(super) fn set_role(&mut self, id: u64, role: Role) {
        if let Some(client) = self.list.iter_mut().find(|client| client.id == id) {
            client.role = role;
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.list.retain(|client| client.id != id);
    }

    /// How many look after the container.
    pub(super) fn supervisors(&self) -> usize {
        let is_one = |client: &&Client| client.role == Role::Supervisor;
        self.list.iter().filter(is_one).count()
    }

    /// Sends to one. It never waits: a client that does not read what little it is sent has itself
    /// to blame, and is dropped when its end is noticed.
    pub(super) fn send(&self, id: u64, reply: &Reply, fds: &[BorrowedFd<'_>]) {
        if let Some(client) = self.list.iter().find(|client| client.id == id) {
            let _ = packet::send(client.socket.as_fd(), reply, fds, Wait::Never);
        }
    }

    /// Sends to all that have this role.
    pub(super) fn tell(&self, role: Role, reply: &Reply, fds: &[BorrowedFd<'_>]) {
        for client in self.list.iter().filter(|client| client.role == role) {
            self.send(client.id, reply, fds);
        }
    }
}

fn is_hold(hello: &Hello) -> bool {
    hello.request == Request::Hold
}

/// Root, or who the shim itself runs as.
fn is_allowed(socket: BorrowedFd<'_>) -> bool {
    socket_peercred(socket).is_ok_and(|peer| peer.uid.is_root() || peer.uid == geteuid())
}
