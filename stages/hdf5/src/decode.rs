//! Conversion of stored numbers to f32.

use crate::element::Element;
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// Converts numbers in native byte order to f32. `Err` is the index of the first f64 that is finite
/// but overflows f32.
///
/// # Panics
/// If `bytes` is not aligned to the element, or does not contain `out.len()` numbers.
pub(crate) fn decode(element: Element, bytes: &[u8], out: &mut [f32]) -> Result<(), usize> {
    match element {
        Element::F32 => out.copy_from_slice(bytemuck::cast_slice(bytes)),
        Element::F16 => {
            let bits: &[u16] = bytemuck::cast_slice(bytes);
            bits.reinterpret_cast::<f16>().convert_to_f32_slice(out);
        }
        Element::U8 => {
            assert_eq!(bytes.len(), out.len());
            for (out, &byte) in out.iter_mut().zip(bytes) {
                *out = f32::from(byte);
            }
        }
        Element::F64 => return narrow(bytemuck::cast_slice(bytes), out),
    }
    Ok(())
}

fn narrow(wide: &[f64], out: &mut [f32]) -> Result<(), usize> {
    assert_eq!(wide.len(), out.len());
    let mut overflow = false;
    for (out, &v) in out.iter_mut().zip(wide) {
        *out = v as f32;
        overflow |= v.is_finite() & !out.is_finite();
    }
    if !overflow {
        return Ok(());
    }
    let beyond = |&v: &f64| v.is_finite() && !(v as f32).is_finite();
    Err(wide.iter().position(beyond).unwrap_or_default())
}
