// SPDX-License-Identifier: MIT
// Jobs of zlib and zstd: there and back, by streams in small pieces and at once; what comes back must be what went in,
// and the digest is of the compressed bytes, which both libraries make without chance. Context: any.
#include <zlib.h>
#include <zstd.h>

#include "stress/jobs/jobs.hpp"

namespace urge::stress {

std::uint64_t zlib_job(std::uint64_t seed) {
  const std::string text = text_of(seed, 6000 + seed % 7 * 500);
  z_stream out{};
  if (deflateInit2(&out, 1 + static_cast<int>(seed % 9), Z_DEFLATED, 12, 6, Z_DEFAULT_STRATEGY) != Z_OK) return failed;
  std::string packed(deflateBound(&out, text.size()), '\0');
  out.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  out.next_out = reinterpret_cast<Bytef*>(packed.data());
  out.avail_out = static_cast<uInt>(packed.size());
  int state = Z_OK;
  for (std::size_t given = 0; state == Z_OK;) {
    const std::size_t piece = std::min<std::size_t>(700, text.size() - given);
    out.avail_in = static_cast<uInt>(piece);
    given += piece;
    state = deflate(&out, given == text.size() ? Z_FINISH : Z_NO_FLUSH);
  }
  packed.resize(out.total_out);
  if (deflateEnd(&out) != Z_OK || state != Z_STREAM_END) return failed;

  z_stream in{};
  if (inflateInit2(&in, 12) != Z_OK) return failed;
  in.next_in = reinterpret_cast<Bytef*>(packed.data());
  in.avail_in = static_cast<uInt>(packed.size());
  std::string back;
  char piece[512];
  do {
    in.next_out = reinterpret_cast<Bytef*>(piece);
    in.avail_out = sizeof piece;
    state = inflate(&in, Z_NO_FLUSH);
    back.append(piece, sizeof piece - in.avail_out);
  } while (state == Z_OK);
  if (inflateEnd(&in) != Z_OK || state != Z_STREAM_END || back != text) return failed;
  digest d;
  d.add(packed);
  d.add(crc32(0, reinterpret_cast<const Bytef*>(back.data()), static_cast<uInt>(back.size())));
  d.add(adler32(1, reinterpret_cast<const Bytef*>(back.data()), static_cast<uInt>(back.size())));
  return d.value();
}

std::uint64_t zstd_job(std::uint64_t seed) {
  const std::string text = text_of(seed, 5000 + seed % 5 * 900);
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  const std::size_t n =
      ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 1 + static_cast<int>(seed % 6));
  if (ZSTD_isError(n)) return failed;
  packed.resize(n);
  std::string back(text.size(), '\0');
  const std::size_t m = ZSTD_decompress(back.data(), back.size(), packed.data(), packed.size());
  if (ZSTD_isError(m) || m != text.size() || back != text) return failed;
  // A frame that has been damaged must be found out, not crash.
  packed[n / 2] = static_cast<char>(packed[n / 2] ^ 0x55);
  const std::size_t damaged = ZSTD_decompress(back.data(), back.size(), packed.data(), packed.size());
  digest d;
  d.add(packed);
  d.add(ZSTD_isError(damaged) ? std::string_view(ZSTD_getErrorName(damaged)) : std::string_view(back));
  return d.value();
}

}  // namespace urge::stress
