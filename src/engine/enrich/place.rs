//! Where an address is and whose network it is in, from databases of the operator (MMDB: GeoLite2,
//! GeoIP2, DB-IP and others of the same shape).
//!
//! The databases are given as bytes and stay in memory; nobody is asked. Their word is a guess of
//! their makers: it describes, no rule rests on it alone.

use std::fmt;
use std::net::IpAddr;

use maxminddb::Reader;
use serde::Deserialize;

use crate::engine::batch::{Field, Writer};
use crate::units::Timestamp;

/// The databases that are asked, in this order; the first that knows a part decides.
#[derive(Default)]
pub struct Places {
    databases: Vec<Reader<Vec<u8>>>,
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.databases.iter().map(|one| &one.metadata().database_type))
            .finish()
    }
}

/// What a database says about itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Edition {
    /// Such as `GeoLite2-City`.
    pub kind: String,
    /// When it was made.
    pub built: Timestamp,
}

/// Bytes that are no database; completes "cannot use …: ".
#[derive(Clone, Debug, thiserror::Error)]
#[error("it is no MMDB database ({0})")]
pub struct NoDatabase(String);

impl Places {
    /// Adds a database.
    pub fn add(&mut self, bytes: Vec<u8>) -> Result<Edition, NoDatabase> {
        let reader = Reader::from_source(bytes).map_err(|error| NoDatabase(error.to_string()))?;
        let metadata = reader.metadata();
        let edition = Edition {
            kind: metadata.database_type.clone(),
            built: Timestamp::from_secs(metadata.build_epoch),
        };
        self.databases.push(reader);
        Ok(edition)
    }

    /// Sets what is known about the client of the open row.
    pub(super) fn describe(&self, client: IpAddr, out: &mut Writer<'_>) {
        for database in &self.databases {
            let found = database.lookup(client.to_canonical());
            // A damaged record says nothing; the line is an event all the same.
            let Ok(Some(record)) = found.and_then(|found| found.decode::<Record<'_>>()) else {
                continue;
            };
            record.tell(out);
        }
    }
}

/// The parts of a record that have a field here, whatever the database has beside them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record<'d> {
    #[serde(borrow)]
    country: Coded<'d>,
    #[serde(borrow)]
    subdivisions: Vec<Coded<'d>>,
    #[serde(borrow)]
    city: City<'d>,
    #[serde(borrow)]
    continent: Continent<'d>,
    location: Location,
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<&'d str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Coded<'d> {
    iso_code: Option<&'d str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct City<'d> {
    #[serde(borrow)]
    names: Names<'d>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names<'d> {
    en: Option<&'d str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Continent<'d> {
    code: Option<&'d str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

impl Record<'_> {
    fn tell(&self, out: &mut Writer<'_>) {
        let region = self.subdivisions.first().and_then(|part| part.iso_code);
        let texts = [
            (Field::Country, self.country.iso_code),
            (Field::City, self.city.names.en),
            (Field::Continent, self.continent.code),
            (Field::AsOrganisation, self.autonomous_system_organization),
        ];
        for (field, value) in texts {
            if let Some(value) = value
                && !out.has(field)
            {
                out.set(field, value.as_bytes());
            }
        }
        if let (Some(country), Some(region)) = (self.country.iso_code, region)
            && !out.has(Field::Region)
        {
            out.set(Field::Region, format!("{country}-{region}").as_bytes());
        }
        if let (Some(latitude), Some(longitude)) = (self.location.latitude, self.location.longitude)
            && !out.has(Field::Latitude)
        {
            out.set(Field::Latitude, format!("{latitude:.4}").as_bytes());
            out.set(Field::Longitude, format!("{longitude:.4}").as_bytes());
        }
        if let Some(number) = self.autonomous_system_number
            && !out.has(Field::AsNumber)
        {
            out.set(Field::AsNumber, itoa::Buffer::new().format(number).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::batch::EventBatch;

    /// A value of an MMDB file (MaxMind DB file format 2.0, "Output Data Section").
    enum Value {
        Text(&'static str),
        Short(u16),
        Number(u32),
        Long(u64),
        Double(f64),
        List(Vec<Self>),
        Map(Vec<(&'static str, Self)>),
    }

    use Value::{Double, List, Long, Map, Number, Short, Text};

    fn write(value: &Value, out: &mut Vec<u8>) {
        let control = |kind: u8, size: usize, out: &mut Vec<u8>| {
            let short = size.min(29) as u8;
            if kind < 8 {
                out.push(kind << 5 | short);
            } else {
                out.extend([short, kind - 7]);
            }
            if 29 <= size {
                out.push(u8::try_from(size - 29).expect("a short text"));
            }
        };
        match value {
            Text(text) => {
                control(2, text.len(), out);
                out.extend_from_slice(text.as_bytes());
            }
            Double(number) => {
                control(3, 8, out);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Short(number) => {
                control(5, 2, out);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Number(number) => {
                control(6, 4, out);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Long(number) => {
                control(9, 8, out);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Map(entries) => {
                control(7, entries.len(), out);
                for (key, value) in entries {
                    write(&Text(key), out);
                    write(value, out);
                }
            }
            List(values) => {
                control(11, values.len(), out);
                for value in values {
                    write(value, out);
                }
            }
        }
    }

    /// A database that knows `record` about 128.0.0.0/1 and nothing about the rest.
    fn database(kind: &'static str, record: Value) -> Vec<u8> {
        // One node of two 24-bit records: bit 0 is nowhere (1 = the number of nodes), bit 1 is data.
        let mut file = vec![0, 0, 1, 0, 0, 17];
        file.extend_from_slice(&[0; 16]);
        write(&record, &mut file);
        file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let metadata = Map(vec![
            ("binary_format_major_version", Short(2)),
            ("binary_format_minor_version", Short(0)),
            ("build_epoch", Long(1_795_160_801)),
            ("database_type", Text(kind)),
            ("description", Map(vec![])),
            ("ip_version", Short(4)),
            ("languages", List(vec![])),
            ("node_count", Number(1)),
            ("record_size", Short(24)),
        ]);
        write(&metadata, &mut file);
        file
    }

    fn places() -> Places {
        let mut places = Places::default();
        let city = Map(vec![
            ("country", Map(vec![("iso_code", Text("DE"))])),
            ("continent", Map(vec![("code", Text("EU"))])),
            (
                "city",
                Map(vec![("names", Map(vec![("en", Text("Berlin")), ("de", Text("Berlin"))]))]),
            ),
            ("subdivisions", List(vec![Map(vec![("iso_code", Text("BE"))])])),
            ("location", Map(vec![("latitude", Double(52.5196)), ("longitude", Double(13.40691))])),
        ]);
        let edition = places.add(database("Test-City", city)).expect("a database");
        assert_eq!("Test-City", edition.kind);
        assert_eq!(Timestamp::from_secs(1_795_160_801), edition.built);
        let network = Map(vec![
            ("autonomous_system_number", Number(64_496)),
            ("autonomous_system_organization", Text("Example Net")),
        ]);
        places.add(database("Test-ASN", network)).expect("a database");
        places
    }

    fn told(client: &str) -> Vec<String> {
        let mut batch = EventBatch::default();
        batch.refill(Arc::default(), Vec::new());
        let (_, mut out) = batch.open();
        places().describe(client.parse().expect("an address"), &mut out);
        out.finish();
        let event = batch.event(0);
        event.rare().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[test]
    fn a_client_has_a_place_and_a_network() {
        let expected =
            ["DE", "Berlin", "EU", "DE-BE", "52.5196", "13.4069", "Example Net", "64496"];
        assert_eq!(expected, *told("203.0.113.9"));
        assert_eq!(expected, *told("::ffff:203.0.113.9"));
    }

    #[test]
    fn what_no_database_knows_is_left_out() {
        assert_eq!(Vec::<String>::new(), told("10.0.0.1"));
        assert_eq!(Vec::<String>::new(), told("2001:db8::1"));
    }

    #[test]
    fn what_is_no_database_is_refused() {
        let error = Places::default().add(b"PK\x03\x04".to_vec()).expect_err("a zip file");
        assert!(error.to_string().contains("no MMDB database"), "{error}");
    }
}
