//! Events as text for the world outside: one file an encoding.

pub mod alert;
pub mod ecs;
pub mod event_id;
