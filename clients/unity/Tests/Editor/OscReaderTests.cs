using System.Collections.Generic;
using System.IO;
using System.Text;
using NUnit.Framework;

namespace Dancerev {
    public sealed class OscReaderTests : IOscHandler {
        private static readonly byte[] Address = Encoding.ASCII.GetBytes("/a");

        private readonly List<float> _numbers = new List<float>();
        private int _messages;

        void IOscHandler.Take(OscMessage message) {
            _messages++;
            Assert.IsTrue(message.HasAddress(Address));
            for (int i = 0; i < message.Count; i++) {
                if (message.TryGetNumber(i, out float number)) _numbers.Add(number);
            }
        }

        [SetUp]
        public void Begin() {
            _numbers.Clear();
            _messages = 0;
        }

        [Test]
        public void NumbersOfEveryTypeAreRead() {
            Read(Message(",fihdTs", 0x3F800000, 2, 0, 3, 0x40100000, 0, 0x78000000));
            Assert.AreEqual(new List<float> { 1f, 2f, 3f, 4f }, _numbers);
        }

        [Test]
        public void NumbersThatAreNotFiniteOrTooLargeAreNone() {
            Read(Message(",fffi", 0x7FC00000, 0x7F800000, 0x7F000000, 1000000));
            Assert.AreEqual(1, _messages);
            Assert.AreEqual(0, _numbers.Count);
        }

        [Test]
        public void TruncatedAndUnknownMessagesAreLeftOut() {
            byte[] whole = Message(",ff", 0, 0);
            for (int length = 0; length < whole.Length; length++) {
                new OscReader().Read(whole, length, this);
            }
            Read(Message(",fQ", 0));
            Assert.AreEqual(0, _messages);
        }

        [Test]
        public void BundlesAreUnpackedAndEndlessNestingIsNot() {
            byte[] message = Message(",f", 0x3F800000);
            Read(Bundle(Bundle(message, message), message));
            Assert.AreEqual(3, _messages);
            for (int i = 0; i < 20; i++) {
                message = Bundle(message);
            }
            Read(message);
            Assert.AreEqual(3, _messages);
        }

        private void Read(byte[] datagram) {
            new OscReader().Read(datagram, datagram.Length, this);
        }

        private static byte[] Message(string tags, params int[] words) {
            var bytes = new MemoryStream();
            Write(bytes, "/a");
            Write(bytes, tags);
            foreach (int word in words) {
                Write(bytes, word);
            }
            return bytes.ToArray();
        }

        private static byte[] Bundle(params byte[][] elements) {
            var bytes = new MemoryStream();
            Write(bytes, "#bundle");
            Write(bytes, 0);
            Write(bytes, 1);
            foreach (byte[] element in elements) {
                Write(bytes, element.Length);
                bytes.Write(element, 0, element.Length);
            }
            return bytes.ToArray();
        }

        private static void Write(Stream bytes, string text) {
            byte[] ascii = Encoding.ASCII.GetBytes(text);
            bytes.Write(ascii, 0, ascii.Length);
            bytes.Write(new byte[4], 0, 4 - ascii.Length % 4);
        }

        private static void Write(Stream bytes, int word) {
            for (int shift = 24; shift >= 0; shift -= 8) {
                bytes.WriteByte((byte)(word >> shift));
            }
        }
    }
}
