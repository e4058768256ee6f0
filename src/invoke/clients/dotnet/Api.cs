using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net.Http;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;

namespace LambdaPack
{
    /// <summary>An event, with what Lambda says of it.</summary>
    sealed class Invocation
    {
        public string Id;
        public string Arn;
        public DateTime Deadline;
        public string ClientContext;
        public Stream Event;
    }

    /// <summary>Lambda's Runtime API.</summary>
    sealed class Api
    {
        const string Kind = "Lambda-Runtime-Function-Error-Type";
        readonly HttpClient client = new HttpClient { Timeout = Timeout.InfiniteTimeSpan };
        readonly string root = "http://" + Environment.GetEnvironmentVariable("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/";

        public async Task<Invocation> Next()
        {
            var said = (await client.GetAsync(root + "invocation/next")).EnsureSuccessStatusCode();
            string Header(string name) => said.Headers.TryGetValues(name, out var values) ? values.First() : null;
            Environment.SetEnvironmentVariable("_X_AMZN_TRACE_ID", Header("Lambda-Runtime-Trace-Id"));
            return new Invocation
            {
                Id = Header("Lambda-Runtime-Aws-Request-Id"),
                Arn = Header("Lambda-Runtime-Invoked-Function-Arn"),
                Deadline = DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(Header("Lambda-Runtime-Deadline-Ms"))).UtcDateTime,
                ClientContext = Header("Lambda-Runtime-Client-Context"),
                Event = await said.Content.ReadAsStreamAsync(),
            };
        }

        public Task Answer(Invocation invocation, Stream answer)
        {
            var content = new StreamContent(answer);
            content.Headers.Add("Content-Type", "application/json");
            return Post("invocation/" + invocation.Id + "/response", content);
        }

        public Task Fail(Invocation invocation, Exception fault) => Fail("invocation/" + invocation.Id + "/error", fault);

        public Task FailInit(Exception fault) => Fail("init/error", fault);

        Task Fail(string path, Exception fault)
        {
            var content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(Document(fault)));
            content.Headers.Add("Content-Type", "application/vnd.aws.lambda.error+json");
            content.Headers.Add(Kind, fault.GetType().Name);
            return Post(path, content);
        }

        async Task Post(string path, HttpContent content)
        {
            // What is refused, such as an answer that is too large, Lambda answers by itself.
            using (await client.PostAsync(root + path, content)) { }
        }

        /// <summary>The lines of a stack without this client, and what it calls handlers by.</summary>
        public static string[] WithoutClient(string stack) => stack.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Where(line => !line.Contains(" LambdaPack.") && !line.Contains(" System.RuntimeMethodHandle.")
                && !line.Contains(" System.Reflection.") && !line.Contains(" InvokeStub_"))
            .ToArray();

        static Dictionary<string, object> Document(Exception fault)
        {
            var document = new Dictionary<string, object>
            {
                ["errorType"] = fault.GetType().Name,
                ["errorMessage"] = fault.Message,
                ["stackTrace"] = WithoutClient(fault.StackTrace ?? ""),
            };
            if (fault.InnerException != null) document["cause"] = Document(fault.InnerException);
            return document;
        }
    }
}
