//! `stack network create`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;

use clap::Args;
use ipnetwork::IpNetwork;

use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::objects::pair;
use crate::compose::model::{Network, Subnet};
use crate::engine::native::objects::create_network;

/// Flags of `network create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name.
    #[arg(value_name = "NETWORK")]
    name: String,
    /// Driver of the network.
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge")]
    driver: String,
    /// Option of the driver; can be given several times.
    #[arg(short, long = "opt", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Label; can be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Address range as `10.1.0.0/24`; can be given for IPv4 and for IPv6.
    #[arg(long = "subnet", value_name = "RANGE")]
    subnets: Vec<IpNetwork>,
    /// The bridge's own address in a range.
    #[arg(long = "gateway", value_name = "ADDRESS")]
    gateways: Vec<IpAddr>,
    /// Part of a range that containers get addresses from.
    #[arg(long = "ip-range", value_name = "RANGE")]
    ip_ranges: Vec<IpNetwork>,
    /// Address that no container gets, as `NAME=ADDRESS`.
    #[arg(long = "aux-address", value_name = "NAME=ADDRESS")]
    aux_addresses: Vec<String>,
    /// No way out of it.
    #[arg(long)]
    internal: bool,
    /// Give out IPv6 addresses, too.
    #[arg(long)]
    ipv6: bool,
    /// Containers of others may join it; they always may.
    #[arg(long)]
    attachable: bool,
    /// `local`.
    #[arg(long, value_name = "SCOPE", hide = true)]
    scope: Option<String>,
    /// `default`.
    #[arg(long, value_name = "DRIVER", hide = true)]
    ipam_driver: Option<String>,
}

impl Create {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("network create")?;
        context.require_root()?;
        let pools = context.env("STACK_ADDRESS_POOL");
        let record = create_network(&context.paths, &self.network()?, pools.as_deref())?;
        writeln!(std::io::stdout(), "{}", record.id)?;
        Ok(())
    }

    /// What a stack file would say.
    fn network(&self) -> Result<Network> {
        if let Some(driver) = self
            .ipam_driver
            .as_deref()
            .filter(|name| *name != "default")
        {
            return Err(Error::new(format!(
                "there is no address driver `{driver}`; there is only `default`"
            )));
        }
        if let Some(scope) = self.scope.as_deref().filter(|scope| *scope != "local") {
            return Err(Error::new(format!(
                "there is no scope `{scope}`; networks are of this machine"
            )));
        }
        Ok(Network {
            name: self.name.clone(),
            driver: Some(self.driver.clone()),
            driver_opts: self.options.iter().map(|text| pair(text)).collect(),
            internal: self.internal,
            enable_ipv6: self.ipv6 || self.subnets.iter().any(IpNetwork::is_ipv6),
            attachable: self.attachable,
            labels: self.labels.iter().map(|text| pair(text)).collect(),
            subnets: self.ranges()?,
            ..Network::default()
        })
    }

    /// The ranges, each with what lies in it.
    fn ranges(&self) -> Result<Vec<Subnet>> {
        let mut ranges: Vec<Subnet> = self
            .subnets
            .iter()
            .map(|subnet| Subnet {
                // Docker takes an address within the range as well.
                subnet: IpNetwork::new(subnet.network(), subnet.prefix()).unwrap_or(*subnet),
                ip_range: None,
                gateway: None,
                aux_addresses: BTreeMap::new(),
            })
            .collect();
        let outside = |what: &str, address: &dyn std::fmt::Display| {
            Error::new(format!("no matching subnet for {what} {address}"))
                .hint("give the range that it lies in with --subnet")
        };
        for part in &self.ip_ranges {
            let range = within(&mut ranges, part.network());
            range.ok_or_else(|| outside("ip-range", part))?.ip_range = Some(*part);
        }
        for gateway in &self.gateways {
            let range = within(&mut ranges, *gateway);
            range.ok_or_else(|| outside("gateway", gateway))?.gateway = Some(*gateway);
        }
        for text in &self.aux_addresses {
            let (name, address) = pair(text);
            let address: IpAddr = address
                .parse()
                .map_err(|_| Error::new(format!("`{text}` is not `NAME=ADDRESS`")))?;
            let range = within(&mut ranges, address);
            let range = range.ok_or_else(|| outside("aux-address", &address))?;
            range.aux_addresses.insert(name, address);
        }
        Ok(ranges)
    }
}

fn within(ranges: &mut [Subnet], address: IpAddr) -> Option<&mut Subnet> {
    ranges
        .iter_mut()
        .find(|range| range.subnet.contains(address))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        create: Create,
    }

    fn network(flags: &[&str]) -> Result<Network, String> {
        let parsed = Wrapper::try_parse_from([&["create", "n"], flags].concat());
        let create = parsed.map_err(|error| error.to_string())?.create;
        create.network().map_err(|error| error.summary())
    }

    #[test]
    fn gateways_and_parts_find_their_range() {
        let flags = [
            "--subnet",
            "10.1.0.5/24",
            "--subnet",
            "fd00::/64",
            "--gateway",
            "fd00::1",
            "--gateway",
            "10.1.0.254",
            "--ip-range",
            "10.1.0.128/25",
            "--aux-address",
            "router=10.1.0.2",
        ];
        let network = network(&flags).unwrap();
        assert!(network.enable_ipv6);
        let [v4, v6] = &network.subnets[..] else {
            panic!("{network:?}")
        };
        assert_eq!(v4.subnet.to_string(), "10.1.0.0/24");
        assert_eq!(v4.gateway, Some("10.1.0.254".parse().unwrap()));
        assert_eq!(v4.ip_range, Some("10.1.0.128/25".parse().unwrap()));
        assert_eq!(v4.aux_addresses["router"].to_string(), "10.1.0.2");
        assert_eq!(v6.gateway, Some("fd00::1".parse().unwrap()));
    }

    #[test]
    fn what_lies_nowhere_is_said() {
        let said = network(&["--subnet", "10.1.0.0/24", "--gateway", "10.2.0.1"]);
        assert_eq!(said.unwrap_err(), "no matching subnet for gateway 10.2.0.1");
        assert!(network(&["--ip-range", "10.2.0.0/24"]).is_err());
        assert!(network(&["--subnet", "x"]).is_err());
        assert!(network(&["--ipam-driver", "dhcp"]).is_err());
    }
}
