namespace Dancerev {
    /// <summary>Takes the messages of a datagram, one at a time and in their order.</summary>
    internal interface IOscHandler {
        /// <summary>Takes one message, which is valid only until this returns.</summary>
        void Take(OscMessage message);
    }

    /// <summary>
    /// Unpacks OSC 1.0 datagrams. It trusts nobody: whatever is malformed, truncated or of an unknown type is left out,
    /// and nothing is thrown for it. It allocates nothing.
    /// </summary>
    internal sealed class OscReader {
        private const int MaxNesting = 8;
        private const int BundleHead = 16; // "#bundle", a zero, and a time tag, which receivers of live data ignore

        private readonly OscMessage _message = new OscMessage();

        /// <summary>Hands the messages in the first <paramref name="length"/> bytes of a buffer to a handler.</summary>
        public void Read(byte[] data, int length, IOscHandler handler) {
            Read(data, 0, length, handler, 0);
        }

        private void Read(byte[] data, int start, int end, IOscHandler handler, int depth) {
            if (start >= end) return;
            if (data[start] == '/') {
                if (_message.Set(data, start, end)) {
                    handler.Take(_message);
                }
            } else if (IsBundle(data, start, end) && depth < MaxNesting) {
                int at = start + BundleHead;
                while (end - at >= 4) {
                    int size = BigEndian.Int32(data, at);
                    at += 4;
                    if (size <= 0 || size > end - at) return;
                    Read(data, at, at + size, handler, depth + 1);
                    at += size;
                }
            }
        }

        private static bool IsBundle(byte[] data, int start, int end) {
            const string Name = "#bundle\0";
            if (end - start < BundleHead) return false;
            for (int i = 0; i < Name.Length; i++) {
                if (data[start + i] != Name[i]) return false;
            }
            return true;
        }
    }

    /// <summary>Numbers as they stand in OSC: the most significant byte first.</summary>
    internal static class BigEndian {
        public static int Int32(byte[] data, int at) {
            return data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3];
        }

        public static long Int64(byte[] data, int at) => (long)Int32(data, at) << 32 | (uint)Int32(data, at + 4);
    }
}
