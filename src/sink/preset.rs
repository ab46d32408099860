//! What well-known receivers want to get: a row each. A setting that is written wins.

use serde::{Deserialize, Serialize};

use super::address::Transport;
use super::config::{Facility, Framing, SyslogConfig};
use super::header::HeaderForm;
use super::message::Mark;
use crate::engine::render::Encoding;

/// A receiver that is known.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// rsyslog's `imtcp` and `imrelp`.
    Rsyslog,
    /// syslog-ng's `syslog()` source.
    SyslogNg,
    /// syslog-ng's `network()` source.
    SyslogNgNetwork,
    /// Splunk Connect for Syslog.
    Splunk,
    /// IBM QRadar.
    Qradar,
    /// Microsoft Sentinel, by the Azure Monitor Agent behind rsyslog or syslog-ng.
    Sentinel,
    /// The TCP input of Elastic Agent, Filebeat or Logstash with lines of JSON.
    Elastic,
    /// Graylog's GELF inputs.
    Graylog,
    /// A SmartConnector of ArcSight.
    Arcsight,
    /// Wazuh, which reads files.
    Wazuh,
}

/// How a receiver wants its messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    pub(super) header: HeaderForm,
    pub(super) framing: Framing,
    pub(super) encoding: Encoding,
    pub(super) facility: Facility,
    /// The longest message on a connection.
    pub(super) max_message: u64,
    /// It understands a host that is called by an address of IPv6.
    pub(super) ipv6_host: bool,
}

/// Longest message: a common receiver makes several of one beyond 8096 bytes.
pub(super) const MESSAGE_BYTES_MAX: u64 = 8000;

/// What is sent to a receiver that was not named.
const PLAIN: Shape = Shape {
    header: HeaderForm::Rfc5424,
    framing: Framing::Auto,
    encoding: Encoding::Ecs,
    facility: Facility::Local0,
    max_message: MESSAGE_BYTES_MAX,
    ipv6_host: true,
};

/// Each receiver that takes messages.
const SHAPES: &[(Preset, Shape)] = &[
    (Preset::Rsyslog, Shape { framing: Framing::OctetCounting, ..PLAIN }),
    // It takes 64 KiB with its header.
    (Preset::SyslogNg, Shape { framing: Framing::OctetCounting, max_message: 64_000, ..PLAIN }),
    (
        Preset::SyslogNgNetwork,
        Shape { header: HeaderForm::Rfc3164, framing: Framing::Lf, max_message: 64_000, ..PLAIN },
    ),
    (Preset::Splunk, PLAIN),
    // It cuts at 4096 bytes, and counts no octets, over TLS neither. It finds the log source by the
    // host of the header, or by the sender's address where that has none.
    (
        Preset::Qradar,
        Shape {
            framing: Framing::Lf,
            encoding: Encoding::Leef,
            max_message: 4000,
            ipv6_host: false,
            ..PLAIN
        },
    ),
    // Its filter against twice the same looks for `CEF` as the program, and rules that collect
    // syslog should not ask for this facility.
    (
        Preset::Sentinel,
        Shape {
            header: HeaderForm::Rfc3164,
            framing: Framing::Lf,
            encoding: Encoding::Cef,
            facility: Facility::Local4,
            ..PLAIN
        },
    ),
    (Preset::Elastic, Shape { header: HeaderForm::None, framing: Framing::Lf, ..PLAIN }),
    (
        Preset::Graylog,
        Shape {
            header: HeaderForm::None,
            framing: Framing::Nul,
            encoding: Encoding::Gelf,
            max_message: 64_000,
            ..PLAIN
        },
    ),
    (
        Preset::Arcsight,
        Shape {
            header: HeaderForm::Rfc3164,
            framing: Framing::Lf,
            encoding: Encoding::Cef,
            ..PLAIN
        },
    ),
];

impl Shape {
    /// What `config` asks for, and its preset where it does not say.
    pub(super) fn of(config: &SyslogConfig) -> Self {
        let row = SHAPES.iter().find(|(preset, _)| Some(*preset) == config.preset);
        let shape = row.map_or(PLAIN, |(_, shape)| *shape);
        let framing = match config.framing {
            Framing::Auto => shape.framing,
            written => written,
        };
        Self {
            header: config.header.unwrap_or(shape.header),
            framing,
            encoding: config.encoding.unwrap_or(shape.encoding),
            facility: config.facility.unwrap_or(shape.facility),
            max_message: config.max_message.map_or(shape.max_message, |size| size.0),
            ipv6_host: shape.ipv6_host,
        }
    }

    /// What tells one message from the next on `transport`.
    pub(super) fn mark(self, transport: Transport) -> Mark {
        match (transport, self.framing) {
            (transport, _) if transport.is_datagram() || transport.is_relp() => Mark::None,
            (_, Framing::OctetCounting) | (Transport::Tls, Framing::Auto) => Mark::Length,
            (_, Framing::Nul) => Mark::Nul,
            (_, Framing::Lf | Framing::Auto) => Mark::LineFeed,
        }
    }
}

impl Preset {
    /// Why this receiver cannot be sent messages, and what to do.
    pub(super) fn complaint(self) -> Option<&'static str> {
        (self == Self::Wazuh).then_some(
            "Wazuh takes no messages: write a sink of `type = \"file\"` and have its agent read that \
             with <localfile> and <log_format>json</log_format>",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> (Shape, Mark) {
        let config: SyslogConfig = toml::from_str(text).expect("settings");
        let shape = Shape::of(&config);
        (shape, shape.mark(config.address.transport()))
    }

    #[test]
    fn each_receiver_gets_what_it_reads() {
        for (preset, tcp, tls, header, encoding) in [
            ("rsyslog", Mark::Length, Mark::Length, HeaderForm::Rfc5424, Encoding::Ecs),
            ("syslog-ng", Mark::Length, Mark::Length, HeaderForm::Rfc5424, Encoding::Ecs),
            (
                "syslog-ng-network",
                Mark::LineFeed,
                Mark::LineFeed,
                HeaderForm::Rfc3164,
                Encoding::Ecs,
            ),
            ("splunk", Mark::LineFeed, Mark::Length, HeaderForm::Rfc5424, Encoding::Ecs),
            ("qradar", Mark::LineFeed, Mark::LineFeed, HeaderForm::Rfc5424, Encoding::Leef),
            ("sentinel", Mark::LineFeed, Mark::LineFeed, HeaderForm::Rfc3164, Encoding::Cef),
            ("elastic", Mark::LineFeed, Mark::LineFeed, HeaderForm::None, Encoding::Ecs),
            ("graylog", Mark::Nul, Mark::Nul, HeaderForm::None, Encoding::Gelf),
            ("arcsight", Mark::LineFeed, Mark::LineFeed, HeaderForm::Rfc3164, Encoding::Cef),
        ] {
            for (scheme, mark) in [("tcp", tcp), ("tls", tls), ("udp", Mark::None)] {
                let text = format!("address = \"{scheme}://a:1\"\npreset = \"{preset}\"");
                let (shape, found) = shape(&text);
                assert_eq!(mark, found, "{preset} {scheme}");
                assert_eq!((header, encoding), (shape.header, shape.encoding), "{preset}");
            }
        }
        assert_eq!(9, SHAPES.len());
    }

    #[test]
    fn what_is_written_wins() {
        let (shape, mark) = shape(
            "address = \"tls://a:1\"\npreset = \"qradar\"\nframing = \"octet_counting\"\n\
             header = \"rfc3164\"\nencoding = \"cef\"\nfacility = \"local7\"\nmax_message = \"9000B\"",
        );
        assert_eq!(Mark::Length, mark);
        let expected = Shape {
            header: HeaderForm::Rfc3164,
            framing: Framing::OctetCounting,
            encoding: Encoding::Cef,
            facility: Facility::Local7,
            max_message: 9000,
            ipv6_host: false,
        };
        assert_eq!(expected, shape);
    }
}
