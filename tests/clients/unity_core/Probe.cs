// Drives the core of the Unity package from a test: packets in, bodies out, by a clock of the test's own.
using System;
using System.Globalization;
using System.IO;
using System.Numerics;
using System.Text;
using Dancerev;

internal static class Probe {
    private static int Main(string[] arguments) {
        switch (arguments[0]) {
            case "replay":
                Replay(File.ReadAllBytes(arguments[1]), Number(arguments[2]), arguments[3] == "mirror");
                return 0;
            case "listen": Listen(int.Parse(arguments[1]), Number(arguments[2])); return 0;
            case "allocate": Allocate(File.ReadAllBytes(arguments[1]), int.Parse(arguments[2])); return 0;
            case "skeleton": Describe(); return 0;
            default: return 2;
        }
    }

    /// <summary>
    /// Plays a file of records (double time, int length, bytes). A record of length -1 asks for a sample, which is
    /// written as double time, int receiving, float rate, positions and rotations.
    /// </summary>
    private static void Replay(byte[] records, double delay, bool mirror) {
        var stream = new VmcStream { Delay = delay };
        var body = new WorldBody();
        var datagram = new byte[65536];
        var output = new BinaryWriter(new BufferedStream(Console.OpenStandardOutput(), 1 << 16));
        var input = new BinaryReader(new MemoryStream(records));
        while (input.BaseStream.Position < records.Length) {
            double now = input.ReadDouble();
            int length = input.ReadInt32();
            if (length >= 0) {
                // What was in the buffer before must not be read as part of a shorter datagram.
                input.Read(datagram, 0, length);
                stream.Receive(datagram, length, now);
                continue;
            }
            bool receiving = stream.Sample(now, body);
            if (receiving && mirror) body.Mirror();
            output.Write(now);
            output.Write(receiving ? 1 : 0);
            output.Write((float)stream.PosesPerSecond(now));
            foreach (Vector3 p in body.Positions) {
                output.Write(p.X);
                output.Write(p.Y);
                output.Write(p.Z);
            }
            foreach (Quaternion q in body.Rotations) {
                output.Write(q.X);
                output.Write(q.Y);
                output.Write(q.Z);
                output.Write(q.W);
            }
            foreach (float face in body.Faces) {
                output.Write(face);
            }
            output.Write((body.HasFingers ? 1 : 0) + (body.HasFace ? 2 : 0));
        }
        output.Flush();
    }

    /// <summary>Listens for real, tells its port, and answers each line on standard input with what it shows.</summary>
    private static void Listen(int port, double delay) {
        var stream = new VmcStream { Delay = delay };
        var body = new WorldBody();
        using (var listener = new UdpListener(port, stream)) {
            Console.WriteLine(listener.Port);
            while (Console.ReadLine() != null) {
                double now = UdpListener.Now;
                var answer = new StringBuilder(stream.Sample(now, body) ? "1" : "0");
                answer.Append(' ').Append(Text(stream.PosesPerSecond(now))).Append(' ').Append(stream.Datagrams);
                foreach (Vector3 p in body.Positions) {
                    answer.Append(' ').Append(Text(p.X)).Append(' ').Append(Text(p.Y)).Append(' ').Append(Text(p.Z));
                }
                Console.WriteLine(answer);
            }
        }
        new UdpListener(port, stream).Dispose(); // throws if the port was not given back
        Console.WriteLine("closed");
    }

    /// <summary>Plays datagrams over and over, and tells how many bytes that took and how memory grew.</summary>
    private static void Allocate(byte[] records, int frames) {
        var stream = new VmcStream { Delay = 0.05 };
        var body = new WorldBody();
        var datagrams = new System.Collections.Generic.List<byte[]>();
        var input = new BinaryReader(new MemoryStream(records));
        while (input.BaseStream.Position < records.Length) {
            input.ReadDouble();
            datagrams.Add(input.ReadBytes(input.ReadInt32()));
        }
        double now = 0.0;
        int next = 0;
        long before = 0L;
        long grown = 0L;
        for (int frame = -300; frame < frames; frame++) {
            if (frame == 0) {
                grown = GC.GetTotalMemory(true);
                before = GC.GetAllocatedBytesForCurrentThread();
            }
            for (int i = 0; i < 2; i++, next = (next + 1) % datagrams.Count) {
                stream.Receive(datagrams[next], datagrams[next].Length, now);
            }
            for (int i = 0; i < 2; i++, now += 1.0 / 60.0) {
                if (!stream.Sample(now, body)) throw new Exception("nothing received");
                stream.PosesPerSecond(now);
            }
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        grown = GC.GetTotalMemory(true) - grown;
        Console.WriteLine(allocated + " " + grown);
    }

    private static void Describe() {
        for (int bone = 0; bone < Skeleton.Count; bone++) {
            Vector3 offset = Skeleton.RestOffsets[bone];
            Console.WriteLine(Skeleton.Names[bone] + " " + Skeleton.Parents[bone] + " " + Skeleton.Mirror[bone] + " "
                + Text(offset.X) + " " + Text(offset.Y) + " " + Text(offset.Z));
        }
    }

    private static string Text(double number) {
        return number.ToString("R", CultureInfo.InvariantCulture);
    }

    private static double Number(string text) {
        return double.Parse(text, CultureInfo.InvariantCulture);
    }
}
