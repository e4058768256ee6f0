using System;
using System.IO;
using System.Reflection;
using System.Runtime.Loader;
using System.Threading.Tasks;

namespace LambdaPack
{
    /// <summary>
    /// Runs the handler of a class library: by Lambda's own client where the package brings it, whose assembly has no entry point
    /// of its own; else as that one would.
    /// </summary>
    static class Program
    {
        static async Task<int> Main(string[] args)
        {
            var brought = Brought();
            if (brought != null)
            {
                var made = Activator.CreateInstance(brought, args[0]);
                await (Task)brought.GetMethod("RunLambdaBootstrap", Type.EmptyTypes).Invoke(made, null);
                return 0;
            }
            var api = new Api();
            Handler handler;
            try
            {
                handler = Handler.Find(args[0]);
            }
            catch (Exception fault)
            {
                Console.Error.WriteLine(string.Join('\n', Api.WithoutClient(fault.ToString())));
                await api.FailInit(fault);
                return 1;
            }
            while (true)
            {
                var invocation = await api.Next();
                try
                {
                    await api.Answer(invocation, await handler.Call(invocation));
                }
                catch (Exception fault)
                {
                    Console.Error.WriteLine(string.Join('\n', Api.WithoutClient(fault.ToString())));
                    await api.Fail(invocation, fault);
                }
            }
        }

        static Type Brought()
        {
            try
            {
                var assembly = AssemblyLoadContext.Default.LoadFromAssemblyName(new AssemblyName("Amazon.Lambda.RuntimeSupport"));
                return assembly.GetType("Amazon.Lambda.RuntimeSupport.RuntimeSupportInitializer");
            }
            catch (FileNotFoundException)
            {
                return null;
            }
        }
    }
}
