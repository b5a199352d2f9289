using System;
using System.Text;

namespace Dancerev {
    /// <summary>What a face does, each with a weight from 0 to 1. VRM 0 and VRM 1 have different names for it.</summary>
    internal static class Expressions {
        /// <summary>Eyes closed.</summary>
        public const int Blink = 0;

        /// <summary>A smile.</summary>
        public const int Joy = 1;

        /// <summary>The mouth open, as for an A.</summary>
        public const int Mouth = 2;

        /// <summary>Number of expressions.</summary>
        public const int Count = 3;

        /// <summary>Names in VRM 0, as sent by most senders.</summary>
        public static readonly string[] Names = { "Blink", "Joy", "A" };

        private static readonly byte[][] Of0 = Array.ConvertAll(Names, Encoding.ASCII.GetBytes);

        private static readonly byte[][] Of1 =
            Array.ConvertAll(new[] { "blink", "happy", "aa" }, Encoding.ASCII.GetBytes);

        /// <summary>Index of the expression that an argument of a message names, -1 if none.</summary>
        public static int IndexOf(OscMessage message, int argument) {
            for (int i = 0; i < Count; i++) {
                if (message.HasText(argument, Of0[i]) || message.HasText(argument, Of1[i])) return i;
            }
            return -1;
        }
    }
}
