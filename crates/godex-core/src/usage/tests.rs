//! Facts about usage records.

use super::*;
