using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Dancerev.Receiver")]
[assembly: InternalsVisibleTo("Dancerev.Receiver.Editor")]
[assembly: InternalsVisibleTo("Dancerev.Receiver.Core.Tests")]
