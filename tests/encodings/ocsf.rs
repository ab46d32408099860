//! Objects of OCSF held to the schema: no name it does not know, nothing missing that it requires.
//!
//! The tables below are written after public copies of the schema, and a validator of the schema was
//! not run: the objects, the base of all classes and the classes 3002, 2004 and 6008 after a flattened
//! model of version 1.7.0, class 4002 after its own definition in the schema's repository. An attribute
//! that 1.8.0 or a later version adds is not in them; one that it takes away would not be missed here.
//! With the profiles `host` and `security_control`. An attribute that is an object has the object's
//! name behind a colon; `!` marks what is required.

use gatewatch::engine::batch::Field;
use gatewatch::engine::render::{Encoding, Shrink};
use serde_json::Value;

use super::events::{INPUTS, encoder, made, records};
use super::{alerts, hostile};

/// An object or a class and its attributes.
type Row = (&'static str, &'static str);

const BASE: &str = "activity_id! activity_name category_name category_uid! class_name class_uid! \
    count duration end_time enrichments message metadata!:metadata observables:observable raw_data \
    raw_data_hash:fingerprint raw_data_size severity severity_id! start_time status status_code \
    status_detail status_id time! timezone_offset type_name type_uid! unmapped:any device:device \
    actor:any";

const CLASSES: &[(u64, &str)] = &[
    (
        4002,
        "app_name connection_info:network_connection_info cumulative_traffic:network_traffic \
         dst_endpoint:network_endpoint file http_cookies http_request:http_request \
         http_response:http_response http_status observation_point observation_point_id proxy \
         src_endpoint:network_endpoint tls:tls traffic:network_traffic",
    ),
    (
        3002,
        "account_switch_type account_switch_type_id auth_factors auth_protocol auth_protocol_id \
         authentication_token certificate dst_endpoint:network_endpoint http_request:http_request \
         http_response:http_response is_cleartext is_mfa is_new_logon is_remote logon_process \
         logon_type logon_type_id service:service session src_endpoint:network_endpoint user!:user",
    ),
    (
        2004,
        "action action_id! disposition disposition_id anomaly_analyses comment confidence \
         confidence_id confidence_score evidences:evidences finding_info!:finding_info impact \
         impact_id impact_score is_alert malware remediation resources risk_details risk_level \
         risk_level_id risk_score vendor_attributes",
    ),
    (6008, ""),
];

const OBJECTS: &[Row] = &[
    (
        "metadata",
        "correlation_uid debug event_code extensions is_truncated labels log_format log_level log_name \
         log_provider log_source log_version logged_time loggers modified_time original_event_uid \
         original_time processed_time product!:product profiles reporter sequence source tags \
         tenant_uid transmit_time uid untruncated_size version!",
    ),
    ("product", "cpe_name feature lang name path uid url_string vendor_name version"),
    ("observable", "event_uid name reputation type type_id! type_uid value"),
    ("fingerprint", "algorithm algorithm_id! value!"),
    (
        "network_connection_info",
        "boundary boundary_id community_uid direction direction_id! flag_history protocol_name \
         protocol_num protocol_ver protocol_ver_id session tcp_flags uid",
    ),
    (
        "network_endpoint",
        "agent_list autonomous_system:autonomous_system domain hostname hw_info instance_uid \
         interface_name interface_uid intermediate_ips ip isp isp_org location:location mac name \
         network_scope network_scope_id os owner:user port proxy_endpoint subnet_uid svc_name type \
         type_id uid vlan_uid vpc_uid zone",
    ),
    (
        "network_traffic",
        "bytes bytes_in bytes_missed bytes_out chunks chunks_in chunks_out end_time packets \
         packets_in packets_out start_time timespan",
    ),
    (
        "http_request",
        "args body_length http_headers http_method length referrer uid url:url user_agent version \
         x_forwarded_for",
    ),
    ("http_response", "body_length code! content_type http_headers latency length message status"),
    (
        "url",
        "categories category_ids domain hostname path port query_string resource_type scheme \
         subdomain url_string",
    ),
    ("tls", "alert certificate cipher ja3_hash ja3s_hash key_length sans sni version!"),
    ("autonomous_system", "name number"),
    (
        "location",
        "city continent coordinates country desc geohash is_on_premises isp lat long postal_code \
         provider region",
    ),
    (
        "user",
        "account credential_uid display_name domain email_addr full_name groups has_mfa name org \
         risk_level risk_score type type_id uid uid_alt",
    ),
    ("service", "labels name tags uid version"),
    (
        "device",
        "desc domain hostname ip location:location name region type type_id! uid vendor_name",
    ),
    (
        "finding_info",
        "analytic:analytic attack_graph attacks:attack created_time data_sources desc \
         first_seen_time kill_chain last_seen_time modified_time product product_uid \
         related_analytics related_events related_events_count src_url tags title traits types uid! \
         uid_alt",
    ),
    ("analytic", "algorithm category desc name related_analytics state type type_id! uid version"),
    ("attack", "mitigation sub_technique tactic tactics technique:technique version"),
    ("technique", "name src_url uid"),
    (
        "evidences",
        "actor api connection_info container data:any database device dst_endpoint:network_endpoint \
         email file http_request http_response name process query resources script \
         src_endpoint:network_endpoint tls uid url:url user:user verdict verdict_id",
    ),
];

/// Objects of which at least one of these must be known.
const AT_LEAST_ONE: &[Row] = &[
    ("network_endpoint", "ip uid name hostname svc_name instance_uid interface_uid interface_name"),
    ("url", "url_string path"),
    ("user", "account name uid"),
    ("service", "name uid"),
    ("attack", "sub_technique tactic technique"),
    ("product", "name uid"),
];

fn attributes(object: &str) -> &'static str {
    let row = OBJECTS.iter().find(|(name, _)| *name == object);
    row.unwrap_or_else(|| panic!("`{object}` is no object of the tables")).1
}

/// Compares `value` with the attributes of the object it should be.
fn check_object(path: &str, value: &Value, object: &str, attributes: &str) {
    let Value::Object(members) = value else { panic!("{path} is no object: {value}") };
    let known: Vec<(&str, bool, Option<&str>)> = attributes
        .split_whitespace()
        .map(|word| {
            let (name, child) =
                word.split_once(':').map_or((word, None), |(name, child)| (name, Some(child)));
            (name.trim_end_matches('!'), name.ends_with('!'), child)
        })
        .collect();
    for (name, required, _) in &known {
        assert!(!required || members.contains_key(*name), "{path} lacks `{name}`");
    }
    if let Some((_, names)) = AT_LEAST_ONE.iter().find(|(name, _)| *name == object) {
        let any = names.split_whitespace().any(|name| members.contains_key(name));
        assert!(any, "{path} has none of {names}");
    }
    for (name, member) in members {
        let child = known.iter().find(|(known, ..)| known == name);
        let Some((_, _, child)) = child else { panic!("{path}.{name} is unknown to the schema") };
        check_member(&format!("{path}.{name}"), member, *child);
    }
}

fn check_member(path: &str, member: &Value, object: Option<&str>) {
    match (object, member) {
        (Some("any"), Value::Object(_)) => (),
        (Some(object), Value::Array(items)) => {
            for item in items {
                check_object(path, item, object, attributes(object));
            }
        }
        (Some(object), member) => check_object(path, member, object, attributes(object)),
        (None, Value::Array(items)) => {
            assert!(items.iter().all(|item| !item.is_object() && !item.is_array()), "{path}");
            assert!(!items.is_empty(), "{path} is empty");
        }
        (None, member) => assert!(!member.is_object() && !member.is_null(), "{path}: {member}"),
    }
}

#[track_caller]
fn check(line: &str) -> u64 {
    let event: Value = serde_json::from_str(line).expect("a JSON object");
    let class = event["class_uid"].as_u64().expect("a class");
    let (_, own) = CLASSES.iter().find(|(uid, _)| *uid == class).expect("a known class");
    check_object("event", &event, "event", &format!("{BASE} {own}"));
    let activity = event["activity_id"].as_u64().expect("an activity");
    assert_eq!(Some(class * 100 + activity), event["type_uid"].as_u64());
    assert_eq!(Some(class / 1000), event["category_uid"].as_u64());
    let has = |name: &str| event.get(name).is_some();
    match class {
        4002 => assert!(has("http_request") || has("http_response"), "{line}"),
        3002 => assert!(has("service") || has("dst_endpoint"), "{line}"),
        _ => (),
    }
    class
}

#[test]
fn every_object_has_the_names_of_the_schema_and_all_that_it_requires() {
    let mut classes = Vec::new();
    for input in INPUTS {
        let batch = input.batch();
        let mut step = Some(Shrink::NONE);
        while let Some(shrink) = step {
            for line in records(&encoder(Encoding::Ocsf), &batch, shrink) {
                classes.push(check(&line));
            }
            step = shrink.next();
        }
    }
    for alert in alerts::alerts() {
        classes.push(check(&alerts::rendered(Encoding::Ocsf.entry(), &alert)));
    }
    for (class, _) in CLASSES {
        assert!(classes.contains(class), "no event of class {class}");
    }
}

#[test]
fn a_request_with_every_field_fits_the_schema_too() {
    for value in ["7", "192.0.2.7", "1.3", "a b"] {
        let batch = made(b"x", |writer| {
            for field in hostile::FIELDS {
                writer.set(*field, value.as_bytes());
            }
            writer.row.status = 200;
            writer.row.client = "192.0.2.9".parse().ok();
        });
        for line in records(&encoder(Encoding::Ocsf), &batch, Shrink::NONE) {
            check(&line);
        }
    }
}

#[test]
fn the_second_record_of_a_log_in_names_the_first() {
    let batch = INPUTS[0].batch();
    let lines = records(&encoder(Encoding::Ocsf), &batch, Shrink::NONE);
    let first: Value = serde_json::from_str(&lines[0]).expect("a JSON object");
    let second: Value = serde_json::from_str(&lines[1]).expect("a JSON object");
    assert_eq!(4002, first["class_uid"]);
    assert_eq!(3002, second["class_uid"]);
    assert_eq!(first["metadata"]["uid"], second["metadata"]["correlation_uid"]);
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!("bob", second["user"]["name"]);
    let named = batch.event(0).field(Field::User);
    assert_eq!(Some(&b"bob"[..]), named);
}
