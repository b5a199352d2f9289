using System;
using System.Runtime.InteropServices;

namespace Dancerev {
    /// <summary>
    /// A view of one OSC 1.0 message in a datagram. It is used again for the next message, so that reading allocates
    /// nothing: take what is needed before returning.
    /// </summary>
    internal sealed class OscMessage {
        private const int MaxArguments = 16; // the longest message of a body has 8; further ones are checked, not kept

        private readonly byte[] _tags = new byte[MaxArguments];
        private readonly int[] _offsets = new int[MaxArguments];
        private byte[] _data;
        private int _addressStart;
        private int _addressLength;

        /// <summary>Number of arguments.</summary>
        public int Count { get; private set; }

        /// <summary>Whether the address is <paramref name="address"/> (ASCII, without the closing zero).</summary>
        public bool HasAddress(byte[] address) => Matches(_addressStart, _addressLength, address);

        /// <summary>Whether argument <paramref name="index"/> is the string <paramref name="text"/> (ASCII).</summary>
        public bool HasText(int index, byte[] text) {
            if (!IsText(index)) return false;
            int start = _offsets[index];
            return Matches(start, Array.IndexOf(_data, (byte)0, start) - start, text);
        }

        /// <summary>Whether argument <paramref name="index"/> is a string.</summary>
        public bool IsText(int index) => index < Count && index < MaxArguments && _tags[index] == 's';

        /// <summary>
        /// The value of argument <paramref name="index"/>, if it is a number (types f, i, d, h), finite, and so small
        /// (below a million) that its square cannot overflow.
        /// </summary>
        public bool TryGetNumber(int index, out float value) {
            value = 0f;
            if (index >= Count || index >= MaxArguments) return false;
            double number;
            int at = _offsets[index];
            switch (_tags[index]) {
                case (byte)'f': number = new FloatBits { Bits = BigEndian.Int32(_data, at) }.Value; break;
                case (byte)'i': number = BigEndian.Int32(_data, at); break;
                case (byte)'d': number = BitConverter.Int64BitsToDouble(BigEndian.Int64(_data, at)); break;
                case (byte)'h': number = BigEndian.Int64(_data, at); break;
                default: return false;
            }
            if (!(Math.Abs(number) < 1e6)) { // so written, a NaN is refused as well
                return false;
            }
            value = (float)number;
            return true;
        }

        /// <summary>Looks at the message in data[start, end); false if it is malformed or of an unknown type.</summary>
        internal bool Set(byte[] data, int start, int end) {
            _data = data;
            Count = 0;
            _addressStart = start;
            int at = SkipText(start, end);
            if (at < 0 || at >= end || data[at] != ',') return false;
            _addressLength = Array.IndexOf(data, (byte)0, start) - start;
            int tag = at + 1;
            at = SkipText(at, end);
            if (at < 0) return false;
            for (; data[tag] != 0; tag++) {
                if (Count < MaxArguments) {
                    _tags[Count] = data[tag];
                    _offsets[Count] = at;
                }
                Count++;
                at = SkipArgument(data[tag], at, end);
                if (at < 0) return false;
            }
            return true;
        }

        private int SkipArgument(byte tag, int at, int end) {
            switch (tag) {
                case (byte)'f':
                case (byte)'i': return at + 4 <= end ? at + 4 : -1;
                case (byte)'d':
                case (byte)'h': return at + 8 <= end ? at + 8 : -1;
                case (byte)'s': return SkipText(at, end);
                case (byte)'T':
                case (byte)'F':
                case (byte)'N': return at;
                default: return -1;
            }
        }

        /// <summary>Where what follows the string at <paramref name="at"/> begins; -1 if it has no end.</summary>
        private int SkipText(int at, int end) {
            if (at >= end) return -1;
            int zero = Array.IndexOf(_data, (byte)0, at, end - at);
            return zero < 0 ? -1 : Math.Min(end, zero + 4 - (zero - _addressStart) % 4);
        }

        private bool Matches(int start, int length, byte[] text) {
            if (length != text.Length) return false;
            for (int i = 0; i < length; i++) {
                if (_data[start + i] != text[i]) return false;
            }
            return true;
        }

        [StructLayout(LayoutKind.Explicit)]
        private struct FloatBits {
            [FieldOffset(0)] public int Bits;
            [FieldOffset(0)] public float Value;
        }
    }
}
