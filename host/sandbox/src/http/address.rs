//! Addresses that a plugin must not reach by a granted name alone: loopback, private and link-local networks, where
//! clouds answer for their machines' credentials, and whatever is no place on the internet. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses with the same first bits: `10.0.0.0/8`, `fd00::/8`; without bits, one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let wrong = || format!("`{text}` is no network: write `10.0.0.0/8`, `127.0.0.1` or `fd00::/8`");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        Ok(Network { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Why this address needs a grant of its own, or `None`: it is a public one, or in one of the permitted networks.
pub(crate) fn refusal(address: IpAddr, permitted: &[Network]) -> Option<&'static str> {
    // `::ffff:1.2.3.4` is another way to write `1.2.3.4`: the same packets to the same machine.
    let address = address.to_canonical();
    if permitted.iter().any(|network| network.contains(address)) {
        return None;
    }
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        // Azure's agent answers on a public address.
        [168, 63, 129, 16] | [169, 254, 169, 254] | [192, 0, 0, 192] | [100, 100, 100, 200] => {
            "an address where a cloud tells about its machines (metadata)"
        }
        [0, ..] => "unspecified (0.0.0.0/8)",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "private",
        [100, 64..=127, ..] => "shared by a provider's customers (100.64.0.0/10)",
        [127, ..] => "loopback, this machine",
        [169, 254, ..] => "link-local",
        [192, 0, 0, _] | [192, 88, 99, _] => "reserved for protocols",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "for documentation only",
        [198, 18..=19, ..] => "for benchmarks only",
        [255, 255, 255, 255] => "broadcast",
        [224..=239, ..] => "multicast",
        [240..=255, ..] => "reserved",
        _ => return None,
    })
}

fn kind_of_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    Some(match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => "unspecified",
        [0, 0, 0, 0, 0, 0, 0, 1] => "loopback, this machine",
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => {
            "an address where a cloud tells about its machines (metadata)"
        }
        // What a translator makes of names that have no address of version 6: as good as the address inside.
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => {
            return kind_of_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
        }
        [_, _, _, _, 0 | 0x0200, 0x5efe, _, _] => "an address of IP version 4 in disguise (ISATAP)",
        [0x2002, ..] => "an address of IP version 4 in disguise (6to4)",
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => "for documentation only",
        [0x2001, 0..=0x01ff, ..] => "reserved for protocols (2001::/23)",
        [0xfc00..=0xfdff, ..] => "private (unique local)",
        [0xfe80..=0xfebf, ..] => "link-local",
        [0xff00..=0xffff, ..] => "multicast",
        [0x2000..=0x3fff, ..] => return None,
        _ => "reserved",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str) -> Option<&'static str> {
        refusal(address.parse().unwrap(), &[])
    }

    // R7.5
    #[test]
    fn every_address_that_is_not_public_is_refused() {
        for (address, part) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.1", "private"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.1.1", "private"),
            ("100.64.0.1", "100.64.0.0/10"),
            ("100.127.255.255", "100.64.0.0/10"),
            ("100.100.100.200", "metadata"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.255", "loopback"),
            ("169.254.1.1", "link-local"),
            ("169.254.169.254", "metadata"),
            ("168.63.129.16", "metadata"),
            ("192.0.0.192", "metadata"),
            ("192.0.0.8", "protocols"),
            ("192.0.2.1", "documentation"),
            ("198.51.100.1", "documentation"),
            ("203.0.113.1", "documentation"),
            ("192.88.99.1", "protocols"),
            ("198.18.0.1", "benchmarks"),
            ("198.19.255.255", "benchmarks"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:169.254.169.254", "metadata"),
            ("::ffff:10.0.0.1", "private"),
            ("::127.0.0.1", "reserved"),
            ("::8.8.8.8", "reserved"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b::a9fe:a9fe", "metadata"),
            ("64:ff9b:1::1", "reserved"),
            ("2002:7f00:1::", "6to4"),
            ("2002:808:808::1", "6to4"),
            ("2001::1", "protocols"),
            ("2001:10::1", "protocols"),
            ("2001:db8::1", "documentation"),
            ("3fff::1", "documentation"),
            ("fc00::1", "private"),
            ("fd00:ec2::254", "metadata"),
            ("fe80::1", "link-local"),
            ("fec0::1", "reserved"),
            ("ff02::1", "multicast"),
            ("100::1", "reserved"),
            ("5f00::1", "reserved"),
            ("2a00::200:5efe:7f00:1", "ISATAP"),
        ] {
            let kind = refused(address);
            assert!(kind.is_some_and(|kind| kind.contains(part)), "{address}: {kind:?}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        for address in
            ["1.1.1.1", "8.8.8.8", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808"]
        {
            assert_eq!(refused(address), None, "{address}");
        }
    }

    // R7.5: private, loopback and metadata addresses need their own grant.
    #[test]
    fn a_permitted_network_opens_itself_and_nothing_else() {
        let networks = [Network::from_str("127.0.0.0/8").unwrap(), Network::from_str("fd00::1").unwrap()];
        let open = |address: &str| refusal(address.parse().unwrap(), &networks).is_none();
        assert!(open("127.0.0.1") && open("127.9.9.9") && open("::ffff:127.0.0.1") && open("fd00::1"));
        for closed in ["10.0.0.1", "::1", "fd00::2", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"] {
            assert!(!open(closed), "{closed}");
        }
        let all = [Network::from_str("0.0.0.0/0").unwrap()];
        assert!(refusal("10.1.2.3".parse().unwrap(), &all).is_none());
        assert!(refusal("::1".parse().unwrap(), &all).is_some());
    }

    #[test]
    fn networks_are_read_strictly() {
        for wrong in
            ["", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/", "10/8", "::/129", "localhost"]
        {
            assert!(Network::from_str(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Network::from_str("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
    }
}
