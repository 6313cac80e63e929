//! How a step finds names: `/etc/hosts`, `/etc/resolv.conf`, and the server behind it.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use crate::net::dns::{Client, DnsServer, DnsSockets, Forward};
use crate::net::resolv::{DnsSettings, ResolvConf, resolv_conf, upstreams};

/// The host name of steps.
pub(super) const HOSTNAME: &str = "buildkitsandbox";

/// What the machine itself asks.
pub(super) fn host_resolv() -> String {
    std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
}

/// Whether the servers of this machine cannot be reached from another network namespace.
pub(super) fn needs_server(host: &str) -> bool {
    let servers = upstreams(&ResolvConf::parse(host), &DnsSettings::default());
    servers.iter().any(IpAddr::is_loopback)
}

/// The file of a step on a network of its own.
pub(super) fn resolv_file(host: &str) -> String {
    let parsed = ResolvConf::parse(host);
    if needs_server(host) {
        return resolv_conf(&parsed, &DnsSettings::default());
    }
    let keep = |line: &&str| {
        let word = line.split_whitespace().next().unwrap_or_default();
        matches!(word, "nameserver" | "search" | "domain" | "options")
    };
    host.lines()
        .filter(keep)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Answers steps that ask 127.0.0.11, by asking this machine's servers.
#[derive(Debug)]
pub(super) struct NameServer {
    sender: Option<tokio::sync::mpsc::UnboundedSender<(String, DnsSockets)>>,
    end: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    pub(super) fn start() -> std::io::Result<Self> {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let (ready, wait) = mpsc::channel();
        let end = CancellationToken::new();
        let token = end.clone();
        let thread = std::thread::Builder::new()
            .name("names".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime = match runtime {
                    Ok(runtime) => {
                        let _ = ready.send(Ok(()));
                        runtime
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                        return;
                    }
                };
                runtime.block_on(async {
                    let server = DnsServer::new();
                    let serve = async {
                        while let Some((key, sockets)) = receiver.recv().await {
                            let servers = upstreams(
                                &ResolvConf::parse(&host_resolv()),
                                &DnsSettings::default(),
                            );
                            let servers = servers.into_iter().map(|ip| SocketAddr::new(ip, 53));
                            let added = server.add_client(Client {
                                key,
                                sockets,
                                networks: Vec::new(),
                                links: Vec::new(),
                                forward: Forward::To(servers.collect()),
                            });
                            if let Err(error) = added {
                                tracing::warn!(%error, "a step has no name server");
                            }
                        }
                    };
                    token.run_until_cancelled(serve).await;
                });
            })?;
        wait.recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("the name server's thread ended")))?;
        Ok(Self {
            sender: Some(sender),
            end,
            thread: Some(thread),
        })
    }

    /// Answers on these sockets from now on.
    pub(super) fn serve(&self, id: &str, sockets: DnsSockets) {
        if let Some(sender) = &self.sender {
            let _ = sender.send((id.to_owned(), sockets));
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.sender = None;
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_the_machines_loopback_are_asked_for_the_step() {
        let stub = "nameserver 127.0.0.53\nsearch a.example\n";
        assert!(needs_server(stub));
        assert!(resolv_file(stub).starts_with("nameserver 127.0.0.11\n"));
        let plain = "# comment\nnameserver 10.0.0.1\noptions ndots:2\nsortlist x\n";
        assert!(!needs_server(plain));
        assert_eq!(resolv_file(plain), "nameserver 10.0.0.1\noptions ndots:2\n");
        assert!(needs_server(""));
    }
}
